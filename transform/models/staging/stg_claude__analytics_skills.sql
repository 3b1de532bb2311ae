{{ claude.claude_stage('analytics_skills') }}
