{{ claude.claude_stage('rbac_roles') }}
