{{ claude.claude_stage('claude_code_model_usage') }}
