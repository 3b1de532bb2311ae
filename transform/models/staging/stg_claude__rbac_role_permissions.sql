{{ claude.claude_stage('rbac_role_permissions') }}
