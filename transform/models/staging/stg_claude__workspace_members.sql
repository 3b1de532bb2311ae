{{ claude.claude_stage('workspace_members') }}
