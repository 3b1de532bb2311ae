{{ claude.claude_stage('analytics_user_cost_report') }}
