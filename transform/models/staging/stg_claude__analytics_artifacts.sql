{{ claude.claude_stage('analytics_artifacts') }}
