{{ claude.claude_stage('claude_code_usage') }}
