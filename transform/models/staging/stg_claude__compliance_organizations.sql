{{ claude.claude_stage('compliance_organizations') }}
