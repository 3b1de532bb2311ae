{{ claude.claude_stage('files') }}
