{{ claude.claude_stage('plugins') }}
