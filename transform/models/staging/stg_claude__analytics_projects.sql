{{ claude.claude_stage('analytics_projects') }}
