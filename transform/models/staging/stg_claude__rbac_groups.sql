{{ claude.claude_stage('rbac_groups') }}
