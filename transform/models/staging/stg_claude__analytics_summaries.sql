{{ claude.claude_stage('analytics_summaries') }}
