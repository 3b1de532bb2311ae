{{ claude.claude_stage('analytics_user_usage_report') }}
