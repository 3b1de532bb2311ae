{{ claude.claude_stage('usage_by_tier') }}
