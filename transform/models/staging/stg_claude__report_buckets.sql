{{ claude.claude_stage('report_buckets') }}
