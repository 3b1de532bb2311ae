{{ claude.claude_stage('analytics_connectors') }}
