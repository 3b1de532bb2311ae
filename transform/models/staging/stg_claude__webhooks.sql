{{ claude.claude_stage('webhooks') }}
