{{ claude.claude_stage('agent_sessions') }}
