{{ claude.claude_stage('analytics_users') }}
