{{ claude.claude_stage('spend_limit_increase_requests') }}
