{{ claude.claude_stage('models') }}
