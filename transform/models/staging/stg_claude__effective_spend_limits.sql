{{ claude.claude_stage('effective_spend_limits') }}
