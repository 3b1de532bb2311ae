{{ claude.claude_stage('environments') }}
