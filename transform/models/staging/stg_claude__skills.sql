{{ claude.claude_stage('skills') }}
