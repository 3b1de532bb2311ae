{{ claude.claude_stage('cost_report') }}
