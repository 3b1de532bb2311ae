{{ claude.claude_stage('compliance_activities') }}
