{{ claude.claude_stage('invites') }}
