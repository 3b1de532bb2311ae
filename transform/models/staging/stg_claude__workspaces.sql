{{ claude.claude_stage('workspaces') }}
