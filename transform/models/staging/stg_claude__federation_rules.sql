{{ claude.claude_stage('federation_rules') }}
