{{ claude.claude_stage('analytics_usage') }}
