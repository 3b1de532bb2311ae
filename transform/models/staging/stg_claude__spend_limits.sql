{{ claude.claude_stage('spend_limits') }}
