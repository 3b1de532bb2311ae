{{ claude.claude_stage('federation_issuers') }}
