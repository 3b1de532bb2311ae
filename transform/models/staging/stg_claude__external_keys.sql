{{ claude.claude_stage('external_keys') }}
