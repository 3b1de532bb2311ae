{{ claude.claude_stage('messages_usage') }}
