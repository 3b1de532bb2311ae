{{ claude.claude_stage('users') }}
