{{ claude.claude_stage('organization') }}
