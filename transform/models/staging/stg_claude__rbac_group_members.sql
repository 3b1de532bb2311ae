{{ claude.claude_stage('rbac_group_members') }}
