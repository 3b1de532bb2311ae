{{ claude.claude_stage('service_account_workspaces') }}
