{{ claude.claude_stage('api_keys') }}
