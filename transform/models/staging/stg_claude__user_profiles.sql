{{ claude.claude_stage('user_profiles') }}
