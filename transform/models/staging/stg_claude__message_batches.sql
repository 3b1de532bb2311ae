{{ claude.claude_stage('message_batches') }}
