{{ claude.claude_stage('workspace_rate_limits') }}
