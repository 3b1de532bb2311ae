{{ claude.claude_stage('telemetry_destinations') }}
