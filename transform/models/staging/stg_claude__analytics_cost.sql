{{ claude.claude_stage('analytics_cost') }}
