{{ claude.claude_stage('service_accounts') }}
