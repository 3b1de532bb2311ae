{{ claude.claude_stage('cost_by_team') }}
