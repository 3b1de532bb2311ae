{{ claude.claude_stage('deployments') }}
