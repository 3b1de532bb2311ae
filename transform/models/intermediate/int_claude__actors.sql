select
    organization_type, organization_id, 'user_actor' as actor_type, person_id as actor_id,
    person_name as actor_name, email_address as actor_email_address, is_deleted as actor_deleted
from {{ ref('int_claude__people') }}
union all
select
    organization_type, organization_id, 'service_account_actor', id,
    name, {{ claude.claude_null('text') }}, {{ claude.claude_null('boolean') }}
from {{ ref('stg_claude__service_accounts') }}
union all
select
    organization_type, organization_id, 'api_actor', id,
    name, {{ claude.claude_null('text') }}, {{ claude.claude_null('boolean') }}
from {{ ref('stg_claude__api_keys') }}
