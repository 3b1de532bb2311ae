{{ claude.claude_stage('analytics_plugins') }}
