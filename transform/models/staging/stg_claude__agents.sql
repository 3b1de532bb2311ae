{{ claude.claude_stage('agents') }}
