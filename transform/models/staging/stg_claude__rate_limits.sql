{{ claude.claude_stage('rate_limits') }}
